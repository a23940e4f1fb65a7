#!/bin/busybox sh
# The first program of the guest that boots the image: loads the disk's and the keys' modules, brings the share and the work to the
# image, and hands over to its systemd, whose unit fwpd-tests.service does the work.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $(cat /modules/order); do
  insmod "/modules/$module.ko" || echo "module $module can't be loaded"
done
mount -t ext4 /dev/vda /root || echo "no disk"
stty -F /dev/ttyS1 raw -echo
mkdir -p /root/mnt/fwpd /root/mnt/out
# In memory, as in the container.
mount -t tmpfs -o mode=0755 share /root/mnt/fwpd
cp -a /share/. /root/mnt/fwpd/
ln -s /dev/ttyS1 /root/mnt/out/lines
{
  echo '#!/bin/sh'
  echo 'echo "@up $(cut -d " " -f 1 /proc/uptime)"; cd /mnt/fwpd || exit 1; ('
  cat /work
  echo
  echo '); echo "@exit $?"; stty -F /dev/ttyS1 drain >/dev/null; systemctl reboot --force --force'
} >/root/mnt/fwpd/work
chmod 0755 /root/mnt/fwpd/work
# What goes wrong before the work begins is seen on the console.
mkdir -p /root/etc/systemd/journald.conf.d
printf '[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\n' >/root/etc/systemd/journald.conf.d/console.conf
umount /proc
umount /sys
mount --move /dev /root/dev
exec switch_root /root /sbin/init --unit=fwpd-tests.service
