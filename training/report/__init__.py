"""The report of a model: one offline HTML file that states whether to promote it, and shows why."""
