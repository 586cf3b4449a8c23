# Users of kubeconfigs who show no certificate: one has a program, one a token, one a file with a token, one an older plugin, one a password.
credentials() {
  local conf=$1/$KUBERNETES/$2.conf
  sed -i -e '/client-certificate-data:/d' -e '/client-key-data:/d' "$conf"
  sed -i "s|^  user:.*|  user: $3|" "$conf"
}
credentials cp-1 admin '{ exec: { apiVersion: client.authentication.k8s.io/v1, command: kubelogin } }'
credentials cp-1 kubelet '{ exec: { apiVersion: client.authentication.k8s.io/v1beta1, command: aws-iam-authenticator } }'
credentials cp-2 admin '{ token: not-a-real-token }'
credentials cp-2 scheduler '{ tokenFile: /run/token }'
credentials cp-3 admin '{ auth-provider: { name: oidc } }'
credentials cp-3 scheduler '{ username: admin, password: not-a-real-password }'
# What is odd about such a file is its owner's to mend, too.
chmod 0644 cp-2/$KUBERNETES/admin.conf
