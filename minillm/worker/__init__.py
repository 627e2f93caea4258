"""The process that runs jobs, `python -m minillm.worker`; one kind of job a file."""
