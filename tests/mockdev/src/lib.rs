//! A testbed of devices in sysfs and /dev, by libumockdev.
