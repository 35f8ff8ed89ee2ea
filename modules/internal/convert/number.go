package convert

import "bytes"

// Limits of PostgreSQL's numeric, in which jsonb keeps numbers.
const (
	numericDigits = 131072 // before the point
	numericScale  = 16383  // after it
	exponentLimit = 1 << 30
)

// number copies a number to out as numeric prints it: no exponent, trailing
// zeros kept, no negative zero.
func (n *Normalizer) number() bool {
	negative := n.peek() == '-'
	if negative {
		n.at++
	}
	whole := n.run()
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' {
		return n.fail("malformed number")
	}
	var fraction []byte
	if n.peek() == '.' {
		n.at++
		if fraction = n.run(); len(fraction) == 0 {
			return n.fail("malformed number")
		}
	}
	exponent := 0
	if c := n.peek(); c == 'e' || c == 'E' {
		n.at++
		var ok bool
		if exponent, ok = n.exponent(); !ok {
			return n.fail("malformed number")
		}
	}
	// PostgreSQL's lexer takes a letter right behind a number for part of it.
	if c := n.peek(); c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 || c == '.' || c == '+' || c == '-' || c >= '0' && c <= '9' {
		return n.fail("malformed number")
	}
	if !zero(whole) || !zero(fraction) {
		if negative {
			n.out = append(n.out, '-')
		}
	} else if exponent > 0 {
		exponent = min(exponent, len(fraction))
	}
	return n.decimal(whole, fraction, exponent)
}

// run reads digits.
func (n *Normalizer) run() []byte {
	from := n.at
	for n.at < len(n.src) && n.src[n.at] >= '0' && n.src[n.at] <= '9' {
		n.at++
	}
	return n.src[from:n.at]
}

func (n *Normalizer) exponent() (int, bool) {
	sign := 1
	switch n.peek() {
	case '-':
		sign = -1
		n.at++
	case '+':
		n.at++
	}
	text := n.run()
	value := 0
	for _, c := range text {
		value = min(value*10+int(c-'0'), exponentLimit)
	}
	return sign * value, len(text) > 0
}

// decimal writes whole.fraction × 10^exponent.
func (n *Normalizer) decimal(whole, fraction []byte, exponent int) bool {
	count := len(whole) + len(fraction)
	point := len(whole) + exponent // of the digits whole+fraction
	scale := max(0, len(fraction)-exponent)
	digit := func(i int) byte {
		switch {
		case i < 0 || i >= count:
			return '0'
		case i < len(whole):
			return whole[i]
		}
		return fraction[i-len(whole)]
	}
	first := 0 // of the digits that count
	for first < count && digit(first) == '0' {
		first++
	}
	if scale > numericScale || point-first > numericDigits {
		return n.fail("a number beyond PostgreSQL's range")
	}
	if point <= first {
		n.out = append(n.out, '0')
	}
	for i := first; i < point; i++ {
		n.out = append(n.out, digit(i))
	}
	if scale > 0 {
		n.out = append(n.out, '.')
		for i := point; i < point+scale; i++ {
			n.out = append(n.out, digit(i))
		}
	}
	return true
}

func zero(digits []byte) bool { return len(bytes.TrimLeft(digits, "0")) == 0 }
