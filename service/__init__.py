"""The imperative shell: everything that touches a clock, a socket, a file or a database."""
