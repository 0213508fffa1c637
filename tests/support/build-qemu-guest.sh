#!/bin/bash
# Builds the smallest guest that behaves like a game server: a Debian cloud kernel and an initramfs around busybox.
# Usage: build-qemu-guest.sh OUTPUT_FOLDER  → OUTPUT_FOLDER/vmlinuz, OUTPUT_FOLDER/initrd.gz
#
# On its serial console the guest prints READY once it listens to the power button, then answers the lines
# `list`, `say TEXT`, `stop` and `sh COMMAND`. Words on its kernel line make it misbehave on purpose:
#   hangboot   stays up and never becomes ready
#   noacpid    never looks at the power button
#   slowboot   loads no power button and is not ready until its console says `go`: a powerdown before is lost
set -euo pipefail
out=$(realpath -m "${1:?output folder}")
mkdir -p "$out/debs"
cd "$out"

kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)/\1/p' | head -n 1)
test -n "$kernel" || { echo 'no kernel package found: run apt-get update' >&2; exit 1; }
(cd debs && apt-get download -q "$kernel" busybox-static >&2)

mkdir -p root/{bin,dev,proc,sys,run,tmp,modules,etc/acpi/PWRF}
dpkg-deb --fsys-tarfile debs/busybox-static_*.deb | tar -xO ./bin/busybox >root/bin/busybox
chmod 755 root/bin/busybox
dpkg-deb --fsys-tarfile debs/"$kernel"_*.deb >kernel.tar
tar -xOf kernel.tar --wildcards './boot/vmlinuz-*' >vmlinuz
# In loading order. What the kernel has built in is simply not found here.
modules='button evdev virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio_balloon'
for module in $modules; do
  tar -xOf kernel.tar --wildcards "./lib/modules/*/kernel/*/$module.ko" >"root/modules/$module.ko" 2>/dev/null ||
    rm -f "root/modules/$module.ko"
done

sed "s/@modules@/$modules/" >root/init <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox --install -s /bin
export PATH=/bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
asked() { case " $(cat /proc/cmdline) " in *" $1 "*) return 0 ;; esac; return 1; }
holds_button() { ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/event; }

echo BOOT
if asked slowboot; then
  until [ "$line" = go ]; do read -r line; done
fi
for module in @modules@; do
  if [ -f /modules/$module.ko ]; then insmod /modules/$module.ko; fi
done
if asked hangboot; then
  echo HANG
  while :; do sleep 3600; done
fi
if ! asked noacpid; then
  acpid -l /dev/null -c /etc/acpi &
  # READY only once acpid holds the button: a powerdown sent before would be lost.
  tries=0
  until holds_button || [ $tries -ge 250 ]; do usleep 20000; tries=$((tries + 1)); done
fi
echo "READY $(cut -d' ' -f1 /proc/uptime)"
while read -r line; do
  case "$line" in
    '') ;;
    list) echo 'There are 0 of a max of 20 players online' ;;
    say\ *) echo "[Server] ${line#say }" ;;
    stop) echo STOPPING; poweroff -f ;;
    sh\ *) sh -c "${line#sh }"; echo "EXIT $?" ;;
    *) echo "Unknown command: $line" ;;
  esac
done
while :; do sleep 3600; done
INIT

# What busybox acpid runs for the power button.
cat >root/etc/acpi/PWRF/00000080 <<'BUTTON'
#!/bin/busybox sh
/bin/busybox echo ACPI-POWEROFF >/dev/ttyS0
/bin/busybox poweroff -f
BUTTON
chmod 755 root/init root/etc/acpi/PWRF/00000080
(cd root && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >initrd.gz
rm -rf kernel.tar debs root
