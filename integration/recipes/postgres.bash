# PostgreSQL as a service: it exposes its port, and refuses to start without POSTGRES_PASSWORD, as the
# official image does.
from=bookworm
packages=(postgresql postgresql-client)
changes=('EXPOSE 5432' 'CMD ["/usr/local/bin/start-postgres"]')
