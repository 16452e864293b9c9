"""Policy files: the shipped one, and configured ones."""
