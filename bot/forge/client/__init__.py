"""A request -> an answer of GitHub's API: who asks, how often, and what an answer means. The only place of PyGithub."""
