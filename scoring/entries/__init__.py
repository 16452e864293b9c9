"""What an entry is: the table of kinds, the checks of their fields, violation types, lifecycle and incidents."""
