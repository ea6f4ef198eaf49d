"""Reviews of a week, a month or a quarter, with SLOs combined over pools and teams."""
