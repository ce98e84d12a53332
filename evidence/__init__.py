"""Pure statistics: counts in, verdict numbers out. No I/O, clock or randomness.

    foundation   cells, domain, names, results   counts that add; what is refused; what is answered
    exact        bets (S1), sequences            a bounded mean; e-values, bounds, epochs
                 effects (S4), paired (S3)       assigned arms; answers to the same request
                 risks, shares (S2)              relative risk, ceilings; one share, the split
                 audited (S8), quantiles (S6)    known inclusion probabilities; log buckets
    decision     forms, decision (S7)            a guardrail's statistic; safe now, harm latched
                 ramps, maturity (S9), buckets   who is compared; late labels; levels of a metric
                 multiplicity (S10)              many slices and metrics
                 planning (S11), detector (S13)  before it begins; after promotion
    not exact    asymptotic (S5), moments,       behind a gate
                 normal
                 intervals (S12), readouts       for a single look
                 agreement                       do annotators agree?

What each promises, in plain words: `docs/statistics.md`; how it is shown: `docs/error-rates.md`.
"""
