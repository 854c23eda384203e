"""The overnight path, wired: requests, jobs, journal, handles, results."""
