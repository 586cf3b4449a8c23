# The spec distrusts the CA of the cluster, which this version does not replace.
