"""The imperative shell: clocks, sockets, files and databases."""
