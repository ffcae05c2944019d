package looptest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long Attach looks for a device that nobody else takes.
const patience = 10 * time.Minute

// endPatience is how long what ends a device waits for others to let go of it: a mount namespace that was made while the device was mounted
// keeps it mounted there until its last process ends.
const endPatience = 10 * time.Minute

// Attach makes a block device of a file and returns its name, and what ends it, which must be called once nothing has the device
// open any more, and returns when the file can be changed. It skips the test where there are no such devices or it needs root.
//
//	LOOP_CTL_GET_FREE → open → LOOP_CONFIGURE, and again if somebody else took that device in between
func Attach(t testing.TB, file string, readOnly bool) (device string, detach func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for loop devices")
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no loop devices: ", err)
	}
	defer control.Close()
	backing, err := open(file, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	of, err := backing.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		device, err = configure(control, backing, readOnly)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENXIO) || time.Since(began) > patience {
			t.Fatal(err)
		}
	}
	return device, func() {
		t.Helper()
		if err := release(device); err != nil {
			t.Error(err)
		}
		for began := time.Now(); isBound(device, of); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > endPatience {
				t.Errorf("%s is still in use", device)
				return
			}
		}
	}
}

// isBound reports whether a device is bound to the file, be it until the last one closes it.
func isBound(name string, of os.FileInfo) bool {
	device, err := os.Open(name)
	if err != nil {
		return false
	}
	defer device.Close()
	status, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	st := of.Sys().(*syscall.Stat_t)
	return err == nil && status.Inode == st.Ino && status.Device == st.Dev
}

func open(name string, readOnly bool) (*os.File, error) {
	if readOnly {
		return os.Open(name)
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}

// configure binds a free device to the file. The error is EBUSY if somebody else was faster, ENOENT if the device that the kernel made has
// no name yet.
func configure(control, backing *os.File, readOnly bool) (string, error) {
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Errorf("find a loop device: %w", err)
	}
	name := fmt.Sprintf("/dev/loop%d", number)
	device, err := open(name, readOnly)
	if err != nil {
		return "", err
	}
	defer device.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	if readOnly {
		config.Info.Flags = unix.LO_FLAGS_READ_ONLY
	}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return name, nil
}

// release unbinds a device: at once, or when the last one who has it open closes it.
func release(name string) error {
	device, err := os.Open(name)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
