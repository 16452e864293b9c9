"""The report of a model: one offline HTML file that says whether to promote it, and shows why."""
