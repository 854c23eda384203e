"""The answer store in a PostgreSQL database, which several machines share."""
