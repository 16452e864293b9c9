"""The policy: which tier, badge and measures follow from points and confirmed facts."""
