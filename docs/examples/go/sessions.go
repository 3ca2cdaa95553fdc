// Package sessions has the writes of a login service for Session Cleanup: sessions, refresh tokens, blacklisted tokens.
//
// All times are stored as whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error.
// Only Login creates a session, and no function makes an inactive session active.
package sessions

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Outcome is the result of a write.
type Outcome string

const (
	Done     Outcome = "done"
	Exists   Outcome = "exists"    // A record with this key already exists. It is unchanged.
	Ended    Outcome = "ended"     // The session is inactive or has expired. It never becomes live again.
	NotFound Outcome = "not found" // The user has no such session, or no such valid refresh token.
)

// The end of the year 9999.
const lastTime = 253_402_300_799

// Item is a record, or a part of it.
type Item = map[string]types.AttributeValue

// Sessions reads and writes the sessions of a table.
type Sessions struct {
	Client    *dynamodb.Client
	Table     string
	Retention time.Duration    // SessionRetentionDays of the stack
	Shards    int              // DueShards of the stack
	Now       func() time.Time // The clock
}

// New returns Sessions with the defaults of the stack.
func New(client *dynamodb.Client, table string) *Sessions {
	return &Sessions{Client: client, Table: table, Retention: 30 * 24 * time.Hour, Shards: 16, Now: time.Now}
}

// Login opens a session, with additional attributes such as ip_address: Done or Exists.
func (s *Sessions) Login(ctx context.Context, user, session string, expiresAt time.Time, attributes Item) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	item := Item{}
	for name, value := range attributes {
		item[name] = value
	}
	for name, value := range sessionKey(user, session) {
		item[name] = value
	}
	expiresAt = untilEnd(expiresAt, item)
	item["user_id"] = text(user)
	item["session_id"] = text(session)
	item["is_active"] = boolean(true)
	item["created_at"] = seconds(s.Now())
	item["expires_at"] = seconds(expiresAt)
	item["due_key"] = text("deactivate#" + s.shard())
	item["due_at"] = seconds(expiresAt)
	item["ttl"] = seconds(expiresAt.Add(s.Retention))
	return s.create(ctx, item)
}

// Refresh moves the expiry time of a live session, to its max_expires_at at most: Done, Ended or NotFound.
func (s *Sessions) Refresh(ctx context.Context, user, session string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	return s.change(ctx, user, session, change{
		action:    "deactivate",
		update:    "expires_at = :due_at",
		condition: "is_active = :true AND expires_at > :now",
		values:    Item{":now": seconds(s.Now()), ":true": boolean(true)},
		dueAt:     func(found Item) time.Time { return untilEnd(expiresAt, found) },
		kept:      s.Retention,
	})
}

// Logout deactivates a session because the user signed out: Done, Ended or NotFound.
func (s *Sessions) Logout(ctx context.Context, user, session string) (Outcome, error) {
	return s.close(ctx, user, session, "logout")
}

// Revoke deactivates a session on behalf of someone else: Done, Ended or NotFound.
func (s *Sessions) Revoke(ctx context.Context, user, session string) (Outcome, error) {
	return s.close(ctx, user, session, "revoked")
}

// AddRefreshToken stores the SHA-256 of a session's refresh token: Done or Exists.
func (s *Sessions) AddRefreshToken(ctx context.Context, user, session, token string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	return s.create(ctx, s.refreshToken(user, session, token, expiresAt))
}

// RotateRefreshToken replaces an old refresh token with a new one, in one transaction.
//
// It returns Done; Ended if the session is not live; NotFound if the old token belongs to another session, was used before
// or has expired; Exists if the new token already exists.
func (s *Sessions) RotateRefreshToken(
	ctx context.Context, user, session, old, new string, expiresAt time.Time,
) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	table, now := aws.String(s.Table), seconds(s.Now())
	_, err := s.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{ConditionCheck: &types.ConditionCheck{
			TableName:                 table,
			Key:                       sessionKey(user, session),
			ConditionExpression:       aws.String("is_active = :true AND expires_at > :now"),
			ExpressionAttributeValues: Item{":true": boolean(true), ":now": now},
		}},
		{Delete: &types.Delete{
			TableName:                 table,
			Key:                       refreshTokenKey(user, old),
			ConditionExpression:       aws.String("session_id = :session AND expires_at > :now"),
			ExpressionAttributeValues: Item{":session": text(session), ":now": now},
		}},
		{Put: &types.Put{
			TableName:           table,
			Item:                s.refreshToken(user, session, new, expiresAt),
			ConditionExpression: aws.String("attribute_not_exists(pk)"),
		}},
	}})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		// There is one reason for each write, in the same order.
		outcomes := []Outcome{Ended, NotFound, Exists}
		for i, reason := range cancelled.CancellationReasons {
			if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
				return outcomes[i], nil
			}
		}
	}
	if err != nil {
		return "", err
	}
	return Done, nil
}

// Blacklist denies one access token from now on; expiresAt is that token's exp: Done or Exists.
func (s *Sessions) Blacklist(ctx context.Context, user, jti string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, jti); err != nil {
		return "", err
	}
	return s.create(ctx, Item{
		"pk":         text("USER#" + user),
		"sk":         text("BLACKLIST#" + jti),
		"user_id":    text(user),
		"jti":        text(jti),
		"expires_at": seconds(expiresAt),
		"due_key":    text("delete#" + s.shard()),
		"due_at":     seconds(expiresAt),
		"ttl":        seconds(expiresAt),
	})
}

// Claims are the claims of an access token, to be signed by a JWT library.
type Claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	User      string `json:"sub"`
	Session   string `json:"sid"`
	ID        string `json:"jti"`
	ExpiresAt int64  `json:"exp"`
	Scope     string `json:"scope"`
}

// AccessTokenClaims returns claims that expire with the session, or after life if that is earlier.
func (s *Sessions) AccessTokenClaims(
	user, session string, sessionExpiresAt time.Time, issuer, audience, scope string, life time.Duration,
) (Claims, error) {
	if err := check(sessionExpiresAt, user, session); err != nil {
		return Claims{}, err
	}
	id := make([]byte, 16)
	if _, err := cryptorand.Read(id); err != nil {
		return Claims{}, err
	}
	expiresAt := s.Now().Add(life)
	if sessionExpiresAt.Before(expiresAt) {
		expiresAt = sessionExpiresAt
	}
	return Claims{
		Issuer:    issuer,
		Audience:  audience,
		User:      user,
		Session:   session,
		ID:        hex.EncodeToString(id),
		ExpiresAt: expiresAt.Unix(),
		Scope:     scope,
	}, nil
}

func (s *Sessions) close(ctx context.Context, user, session, reason string) (Outcome, error) {
	now := s.Now()
	if err := check(now, user, session); err != nil {
		return "", err
	}
	return s.change(ctx, user, session, change{
		action:    "delete",
		update:    "is_active = :false, deactivated_at = :now, deactivation_reason = :reason",
		condition: "is_active = :true",
		values: Item{
			":false": boolean(false), ":now": seconds(now), ":reason": text(reason), ":true": boolean(true),
		},
		dueAt: func(Item) time.Time { return now.Add(s.Retention) },
	})
}

type change struct {
	action, update, condition string
	values                    Item
	dueAt                     func(found Item) time.Time
	kept                      time.Duration
}

func (s *Sessions) change(ctx context.Context, user, session string, change change) (Outcome, error) {
	key := sessionKey(user, session)
	found, err := s.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:            aws.String(s.Table),
		Key:                  key,
		ConsistentRead:       aws.Bool(true),
		ProjectionExpression: aws.String("pk, due_key, max_expires_at"),
	})
	if err != nil {
		return "", err
	}
	if len(found.Item) == 0 {
		return NotFound, nil
	}
	// A record keeps its shard for life.
	shard := s.shard()
	if list, ok := found.Item["due_key"].(*types.AttributeValueMemberS); ok {
		if _, existing, ok := strings.Cut(list.Value, "#"); ok && existing != "" {
			shard = existing
		}
	}
	change.values[":due_key"] = text(change.action + "#" + shard)
	dueAt := change.dueAt(found.Item)
	change.values[":due_at"] = seconds(dueAt)
	change.values[":ttl"] = seconds(dueAt.Add(change.kept))
	_, err = s.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(s.Table),
		Key:                       key,
		UpdateExpression:          aws.String("SET " + change.update + ", due_key = :due_key, due_at = :due_at, #ttl = :ttl"),
		ConditionExpression:       aws.String(change.condition),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: change.values,
	})
	return unlessConditionFailed(err, Ended)
}

func (s *Sessions) create(ctx context.Context, item Item) (Outcome, error) {
	_, err := s.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:           aws.String(s.Table),
		Item:                item,
		ConditionExpression: aws.String("attribute_not_exists(pk)"),
	})
	return unlessConditionFailed(err, Exists)
}

func (s *Sessions) refreshToken(user, session, token string, expiresAt time.Time) Item {
	item := refreshTokenKey(user, token)
	item["user_id"] = text(user)
	item["session_id"] = text(session)
	item["expires_at"] = seconds(expiresAt)
	item["due_key"] = text("delete#" + s.shard())
	item["due_at"] = seconds(expiresAt)
	item["ttl"] = seconds(expiresAt)
	return item
}

func (s *Sessions) shard() string {
	return fmt.Sprintf("%02d", rand.Intn(s.Shards))
}

func sessionKey(user, session string) Item {
	return Item{"pk": text("USER#" + user), "sk": text("SESSION#" + session)}
}

func refreshTokenKey(user, token string) Item {
	hash := sha256.Sum256([]byte(token))
	return Item{"pk": text("USER#" + user), "sk": text("REFRESH#" + hex.EncodeToString(hash[:]))}
}

func check(time time.Time, ids ...string) error {
	if time.Unix() < 0 || time.Unix() > lastTime {
		return errors.New("a time must be between 1970 and 9999")
	}
	for _, id := range ids {
		characters := utf8.RuneCountInString(id)
		isValid := characters >= 1 && characters <= 256 && len(id) <= 1000 && utf8.ValidString(id)
		if !isValid || strings.IndexFunc(id, unicode.IsControl) >= 0 {
			return errors.New("an id has 1 to 256 characters in at most 1000 bytes, and no control characters")
		}
	}
	return nil
}

func unlessConditionFailed(err error, outcome Outcome) (Outcome, error) {
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		return outcome, nil
	case err != nil:
		return "", err
	}
	return Done, nil
}

func text(value string) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: value}
}

func boolean(value bool) types.AttributeValue {
	return &types.AttributeValueMemberBOOL{Value: value}
}

// The expiry time, but not later than the session's absolute end.
func untilEnd(expiresAt time.Time, record Item) time.Time {
	number, ok := record["max_expires_at"].(*types.AttributeValueMemberN)
	if !ok {
		return expiresAt
	}
	end, err := strconv.ParseFloat(number.Value, 64)
	if err != nil || float64(expiresAt.Unix()) <= end {
		return expiresAt
	}
	return time.Unix(int64(math.Floor(end)), 0)
}

func seconds(time time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Unix(), 10)}
}
