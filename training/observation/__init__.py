"""From entries to labelled rows."""
