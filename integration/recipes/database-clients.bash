# What a job needs to ask PostgreSQL and Redis whether they are there.
from=bookworm
packages=(postgresql-client redis-tools)
