"""What can be asked for, by name: models, texts, tasks, ways to cut, and the requests of jobs."""
