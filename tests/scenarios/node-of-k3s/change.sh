# A server of k3s was written into the spec: its program keeps its certificates in its own datastore.
mkdir -p cp-2/var/lib/rancher/k3s/server/tls
