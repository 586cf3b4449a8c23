# A worker has the kubelet's files only.
spec worker
add_worker w-1
