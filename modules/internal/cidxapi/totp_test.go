package cidxapi

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"
)

// The vectors are RFC 6238, appendix B, cut to six digits.
func TestTOTPAgreesWithTheRFC(t *testing.T) {
	secret := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	key, err := totpKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"} {
		if got := totp(key, step(time.Unix(at, 0))); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestTOTPKeyTakesWhatAppsShowAndNeverRepeatsIt(t *testing.T) {
	want, _ := totpKey("JBSWY3DPEHPK3PXP")
	got, err := totpKey(" jbsw y3dp-ehpk 3pxp==")
	if err != nil || string(got) != string(want) {
		t.Errorf("spelt with blanks: %x, %v", got, err)
	}
	if _, err := totpKey("not1base32!"); err == nil || strings.Contains(err.Error(), "not1base32") {
		t.Errorf("a wrong secret: %v", err)
	}
}
