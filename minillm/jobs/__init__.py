"""Jobs from the app's side: put in line, looked at, stopped; and the worker process kept alive."""
