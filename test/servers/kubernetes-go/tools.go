//go:build tools

// What ../kubernetes-setup.ts builds, in one module so that what they share is compiled once. After a change of a version in
// go.mod: `go mod tidy`.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "helm.sh/helm/v3/cmd/helm"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
