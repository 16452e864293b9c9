"""Find the cautions that protect for some days, and judge no seller."""
