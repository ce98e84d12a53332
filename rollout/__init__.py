"""From a registered model to a decision with evidence: specs, stages, judge, controller."""
