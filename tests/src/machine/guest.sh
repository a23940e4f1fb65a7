#!/bin/busybox sh
# The first program of the guest: what a machine with udev has, as far as USB keys need it, then /work, whose output and
# exit status go to the second serial port.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp SYSTEMD_IGNORE_CHROOT=1
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts
ln -s /proc/self/fd /dev/fd
mount -t devpts pts /dev/pts
ifconfig lo up
systemd-udevd --daemon
for module in $(cat /modules/order); do
  insmod "/modules/$module.ko" || echo "module $module can't be loaded"
done
udevadm trigger --action=add
udevadm settle
stty -F /dev/ttyS1 raw -echo
echo "@up $(cut -d ' ' -f 1 /proc/uptime)" >/dev/ttyS1
sh /work >/dev/ttyS1 2>/dev/console </dev/null
echo "@exit $?" >/dev/ttyS1
stty -F /dev/ttyS1 drain 2>/dev/null
reboot -f
