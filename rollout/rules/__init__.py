"""What lint holds a spec to, one file a subject; `rollout.lint` runs them.

metrics  a metric against its source, itself and the split of the units
stages   order, weights, floors, times
gates    what guardrails and required metrics can prove, and what it costs
terms    versions, slices, audits, freezes
model    the model's declaration and its versions
"""
