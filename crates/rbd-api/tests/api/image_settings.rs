//! What an image is set to: name, features, metadata, QoS.
