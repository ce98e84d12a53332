// A service in Node that takes part in a rollout through stock OpenFeature: which version answers
// is the value of a flag, and the events say what was decided.
//
//   node service.mjs http://localhost:8080 mailguard 41 account-1 account-2 ...

import { randomUUID } from "node:crypto";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

const [url, model, champion, ...accounts] = process.argv.slice(2);
const headers = process.env.PENSTOCK_KEY
  ? { Authorization: `Bearer ${process.env.PENSTOCK_KEY}` }
  : {};

await OpenFeature.setProviderAndWait(
  new OFREPProvider({ baseUrl: url, headers: Object.entries(headers) }),
);
const flags = OpenFeature.getClient();

async function decide(account, region) {
  // Whatever goes wrong, the value is the default: the champion that this service names.
  const found = await flags.getStringDetails(model, champion, { targetingKey: account, region });
  return {
    version: found.value,
    arm: found.variant ?? "champion",
    route_version: found.flagMetadata.route_version,
    confirm: found.flagMetadata.confirm ?? false,
    error: found.errorCode,
  };
}

async function record(account, region, decided, label) {
  const event = {
    type: "io.penstock.prediction.v1",
    model,
    prediction_id: randomUUID(),
    time: Date.now(),
    version: decided.version,
    arm: decided.arm,
    route_version: decided.route_version, // left out of the JSON when nothing was decided
    unit_id: account,
    tags: { region },
    output: { label },
  };
  const answer = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(event),
  });
  if (answer.status !== 202) throw new Error(`the event was not taken: ${await answer.text()}`);
}

for (const [k, account] of accounts.entries()) {
  const region = k % 3 === 0 ? "US" : "EU";
  const decided = await decide(account, region);
  const label = "ham"; // here models[decided.version] would answer
  if (process.env.RECORD !== "no") await record(account, region, decided, label);
  console.log(JSON.stringify({ account, region, ...decided }));
}
await OpenFeature.close();
