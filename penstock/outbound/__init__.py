"""What Penstock sends to addresses that somebody gave: by rules, and no further than they say."""
