# A Docker engine as a service, with what docker:dind declares.
from=docker
changes=('ENTRYPOINT ["dockerd-entrypoint.sh"]' 'ENV DOCKER_TLS_CERTDIR=/certs' 'VOLUME /var/lib/docker' 'EXPOSE 2375/tcp 2376/tcp')
