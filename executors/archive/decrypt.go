package archive

import (
	"archive/zip"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"

	zipcrypto "github.com/yeka/zip"
)

// The library's reader of encrypted entries is not used: it reserves as much memory as a directory claims to need, and reads entries whole. Its cipher
// of old is.

// methodAES is the compression method of entries that are encrypted as WinZip does it. Theirs is in the extra field (APPNOTE 7.2, WinZip's AE-2).
const (
	methodAES = 99
	extraAES  = 0x9901
)

// decrypted is the content of an encrypted entry. It fails instead of ending where the content is not what was encrypted.
func decrypted(r io.ReaderAt, f *zip.File, password string) (io.ReadCloser, error) {
	from, err := f.DataOffset()
	if err != nil {
		return nil, err
	}
	if f.CompressedSize64 > 1<<62 {
		return nil, &Error{f.Name, "is broken"}
	}
	if f.Flags&0x40 != 0 {
		return nil, &Error{f.Name, "is encrypted in a way that is not supported"}
	}
	raw := io.NewSectionReader(r, from, int64(f.CompressedSize64))
	if f.Method == methodAES {
		return openAES(raw, f, password)
	}
	const header = 12
	z := zipcrypto.NewZipCrypto([]byte(password))
	plain := &oldReader{raw, z}
	head := make([]byte, header)
	if _, err := io.ReadFull(plain, head); err != nil {
		return nil, &Error{f.Name, "is broken"}
	}
	check := byte(f.CRC32 >> 24)
	if f.Flags&8 != 0 { // the sum was not known yet
		check = byte(f.ModifiedTime >> 8) //nolint:staticcheck // it is compared as it was written
	}
	if head[header-1] != check {
		return nil, ErrPassword
	}
	content, err := inflated(f, f.Method, plain)
	if err != nil {
		return nil, err
	}
	return &checked{ReadCloser: content, name: f.Name, left: f.UncompressedSize64, sum: crc32.NewIEEE(), want: f.CRC32, old: true}, nil
}

// inflated undoes the compression.
func inflated(f *zip.File, method uint16, r io.Reader) (io.ReadCloser, error) {
	switch method {
	case zip.Store:
		return io.NopCloser(r), nil
	case zip.Deflate:
		return flate.NewReader(r), nil
	}
	return nil, &Error{f.Name, "is compressed in a way that is not supported"}
}

// oldReader decrypts by the old cipher.
type oldReader struct {
	r io.Reader
	z *zipcrypto.ZipCrypto
}

func (o *oldReader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	copy(p, o.z.Decrypt(p[:n]))
	return n, err
}

// checked is a content that must have a length and a sum.
type checked struct {
	io.ReadCloser
	name string
	left uint64
	sum  hash.Hash32
	want uint32
	none bool // there is no sum
	old  bool // a password may pass the cipher's own test, one of 256, and be wrong
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	_, _ = c.sum.Write(p[:n])
	if uint64(n) > c.left {
		return 0, c.bad()
	}
	c.left -= uint64(n)
	if errors.Is(err, io.EOF) && (c.left > 0 || !c.none && c.sum.Sum32() != c.want) {
		return 0, c.bad()
	}
	if _, corrupt := errors.AsType[flate.CorruptInputError](err); corrupt || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, c.bad()
	}
	return n, err
}

func (c *checked) bad() error {
	if c.old {
		return &Error{c.name, "is broken, or the password does not open it"}
	}
	return &Error{c.name, "is broken"}
}

// openAES opens an entry that is encrypted as WinZip does it: salt, two bytes to test the password by, content, ten bytes of a sum.
func openAES(raw *io.SectionReader, f *zip.File, password string) (io.ReadCloser, error) {
	version, strength, method, ok := fieldAES(f.Extra)
	if !ok {
		return nil, &Error{f.Name, "is broken"}
	}
	size := 8 + 8*int(strength) // of the key, in bytes
	salted := size/2 + 2
	length := raw.Size() - int64(salted) - 10
	head := make([]byte, salted)
	if _, err := io.ReadFull(raw, head); err != nil || length < 0 {
		return nil, &Error{f.Name, "is broken"}
	}
	keys, err := pbkdf2.Key(sha1.New, password, head[:size/2], 1000, 2*size+2)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(keys[2*size:], head[size/2:]) != 1 {
		return nil, ErrPassword
	}
	block, err := aes.NewCipher(keys[:size])
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha1.New, keys[size:2*size])
	plain := &aesReader{from: io.NewSectionReader(raw, int64(salted), length), sum: io.NewSectionReader(raw, int64(salted)+length, 10), mac: mac, block: block, name: f.Name}
	content, err := inflated(f, method, plain)
	if err != nil {
		return nil, err
	}
	whole := &checked{ReadCloser: content, name: f.Name, left: f.UncompressedSize64, sum: crc32.NewIEEE(), want: f.CRC32, none: version == 2}
	return &authentic{whole, plain}, nil
}

// fieldAES reads the extra field: version 1 or 2, strength 1 to 3, and the compression method.
func fieldAES(extra []byte) (version uint16, strength byte, method uint16, ok bool) {
	for len(extra) >= 4 {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			break
		}
		if field := extra[:size]; id == extraAES && size >= 7 {
			version, strength, method = binary.LittleEndian.Uint16(field), field[4], binary.LittleEndian.Uint16(field[5:])
			return version, strength, method, (version == 1 || version == 2) && strength >= 1 && strength <= 3
		}
		extra = extra[size:]
	}
	return 0, 0, 0, false
}

// aesReader decrypts, and compares the sum at the end. WinZip's counter is little-endian, unlike that of [cipher.NewCTR].
type aesReader struct {
	from, sum io.Reader
	mac       hash.Hash
	block     cipher.Block
	name      string
	counter   [aes.BlockSize]byte
	stream    [aes.BlockSize]byte
	used      int // of stream; 0: a new one is needed
	ended     bool
}

func (a *aesReader) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	_, _ = a.mac.Write(p[:n])
	for i := range p[:n] {
		if a.used == 0 {
			for at := range a.counter {
				if a.counter[at]++; a.counter[at] != 0 {
					break
				}
			}
			a.block.Encrypt(a.stream[:], a.counter[:])
		}
		p[i] ^= a.stream[a.used]
		a.used = (a.used + 1) % aes.BlockSize
	}
	if errors.Is(err, io.EOF) && !a.ended {
		sum := make([]byte, 10)
		if _, err := io.ReadFull(a.sum, sum); err != nil || !hmac.Equal(sum, a.mac.Sum(nil)[:10]) {
			return 0, &Error{a.name, "is not what was encrypted"}
		}
		a.ended = true
	}
	return n, err
}

// authentic is a content that does not end before its sum is compared: a decompressor may stop sooner.
type authentic struct {
	*checked
	raw *aesReader
}

func (a *authentic) Read(p []byte) (int, error) {
	n, err := a.checked.Read(p)
	if errors.Is(err, io.EOF) {
		if _, bad := io.Copy(io.Discard, a.raw); bad != nil {
			return 0, bad
		}
	}
	return n, err
}
