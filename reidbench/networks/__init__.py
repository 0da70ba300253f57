"""Networks and their training: backbones, augmentation on the device, batches of patients, the Lightning loop."""
