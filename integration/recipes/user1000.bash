# An image whose own user is neither root nor known to its /etc/passwd.
from=bookworm
changes=('USER 1000')
