package target

import "golang.org/x/sys/unix"

// NextData returns where the first data at or behind offset begins: the size of the file if
// there are only holes. A file system that does not tell has data everywhere.
func (r *Reader) NextData(offset int64) (int64, error) {
	for {
		next, err := unix.Seek(r.fd, offset, unix.SEEK_DATA)
		switch err {
		case nil:
			return next, nil
		case unix.EINTR:
		case unix.EINVAL, unix.ENOTSUP:
			return offset, nil
		case unix.ENXIO:
			return unix.Seek(r.fd, 0, unix.SEEK_END)
		default:
			return offset, err
		}
	}
}
