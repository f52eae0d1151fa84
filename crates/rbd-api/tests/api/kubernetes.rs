//! An image as a volume of Kubernetes.
