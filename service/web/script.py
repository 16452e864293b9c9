import base64
import hashlib
from pathlib import Path

BADGE_SCRIPT = Path(__file__).with_name("badge.js").read_bytes()

INTEGRITY = "sha384-" + base64.b64encode(hashlib.sha384(BADGE_SCRIPT).digest()).decode()
"""A browser runs only the script with this `integrity`."""
