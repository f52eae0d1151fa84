// A provider of OpenID Connect that lets everybody in unasked, for the test of external authentication.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/oauth2-proxy/mockoidc"
)

// How many sign-ins there may be. Who comes later is another user.
const signIns = 100

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: oauth2-provider ADDRESS")
	}
	if os.Args[1] == "--version" {
		fmt.Println("oauth2-provider")
		return
	}
	provider, err := mockoidc.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	provider.ClientID, provider.ClientSecret = "sparrow", "sparrow-secret"
	provider.AccessTTL, provider.RefreshTTL = 30*time.Minute, time.Hour
	for range signIns {
		provider.QueueUser(user())
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := provider.Start(listener, nil); err != nil {
		log.Fatal(err)
	}
	select {}
}

// One with groups that make tokens so long that a session takes two cookies.
func user() mockoidc.User {
	user := &mockoidc.MockUser{Subject: "ann", Email: "ann@example.com", EmailVerified: true, PreferredUsername: "ann"}
	for range 30 {
		group := make([]byte, 20)
		if _, err := rand.Read(group); err != nil {
			log.Fatal(err)
		}
		user.Groups = append(user.Groups, hex.EncodeToString(group))
	}
	return user
}
