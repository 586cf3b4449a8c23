# A full disk cut a certificate and, on another node, a key and a kubeconfig.
: >cp-1/$PKI/apiserver.crt
: >cp-2/$PKI/apiserver.key
: >cp-3/$KUBERNETES/scheduler.conf
