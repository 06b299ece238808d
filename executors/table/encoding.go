package table

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// encoder appends a character. It reports whether the encoding has it.
type encoder func(out []byte, r rune) ([]byte, bool)

// byteOrder are the bytes that a file begins with.
var byteOrder = map[string]string{"utf-8-sig": "\xEF\xBB\xBF", "utf-16": "\xFF\xFE"}

// charmaps are encodings of one byte a character, by the names that IANA or Python gives them.
var charmaps = map[string]*charmap.Charmap{
	"iso-8859-1": charmap.ISO8859_1, "latin-1": charmap.ISO8859_1, "latin1": charmap.ISO8859_1, "iso-8859-2": charmap.ISO8859_2, "iso-8859-3": charmap.ISO8859_3,
	"iso-8859-4": charmap.ISO8859_4, "iso-8859-5": charmap.ISO8859_5, "iso-8859-6": charmap.ISO8859_6, "iso-8859-7": charmap.ISO8859_7,
	"iso-8859-8": charmap.ISO8859_8, "iso-8859-9": charmap.ISO8859_9, "iso-8859-10": charmap.ISO8859_10, "iso-8859-13": charmap.ISO8859_13,
	"iso-8859-14": charmap.ISO8859_14, "iso-8859-15": charmap.ISO8859_15, "iso-8859-16": charmap.ISO8859_16,
	"cp1250": charmap.Windows1250, "cp1251": charmap.Windows1251, "cp1252": charmap.Windows1252, "cp1253": charmap.Windows1253,
	"cp1254": charmap.Windows1254, "cp1255": charmap.Windows1255, "cp1256": charmap.Windows1256, "cp1257": charmap.Windows1257, "cp1258": charmap.Windows1258,
	"cp437": charmap.CodePage437, "cp850": charmap.CodePage850, "cp852": charmap.CodePage852, "cp866": charmap.CodePage866,
	"koi8-r": charmap.KOI8R, "koi8-u": charmap.KOI8U, "mac-roman": charmap.Macintosh,
}

// encodingWord is the name of an encoding as it is known here: its case does not matter, nor whether it has _ or -.
func encodingWord(name string) string {
	word := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if rest, ok := strings.CutPrefix(word, "windows-"); ok {
		word = "cp" + rest
	}
	return word
}

// encodingOf finds an encoding by its name. nil: UTF-8.
func encodingOf(name string) (encoder, error) {
	word := encodingWord(name)
	switch word {
	case "utf-8", "utf8", "utf-8-sig":
		return nil, nil
	case "ascii", "us-ascii":
		return func(out []byte, r rune) ([]byte, bool) { return append(out, byte(r)), r < 0x80 }, nil
	case "utf-16", "utf-16-le", "utf-16le":
		return func(out []byte, r rune) ([]byte, bool) {
			for _, unit := range utf16.AppendRune(nil, r) {
				out = append(out, byte(unit), byte(unit>>8))
			}
			return out, true
		}, nil
	case "utf-16-be", "utf-16be":
		return func(out []byte, r rune) ([]byte, bool) {
			for _, unit := range utf16.AppendRune(nil, r) {
				out = append(out, byte(unit>>8), byte(unit))
			}
			return out, true
		}, nil
	}
	if m := charmaps[word]; m != nil {
		return func(out []byte, r rune) ([]byte, bool) {
			b, ok := m.EncodeRune(r)
			return append(out, b), ok
		}, nil
	}
	return nil, fmt.Errorf("%.40q is not known: utf-8, utf-8-sig, utf-16, ascii, latin-1, iso-8859-1 to 16, cp1250 to 1258, cp437, cp850, cp852, cp866, koi8-r, koi8-u and mac-roman are", name)
}
