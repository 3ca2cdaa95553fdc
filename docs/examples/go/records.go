package sessions

import (
	"context"
	"crypto/hmac"
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

const (
	// The end of the year 9999.
	lastTime = 253_402_300_799
	// An attempt fails if another write to the same session was first. The next one finds its result.
	maxAttempts = 5
	// An expiry time that is never later than the session's absolute end, also if another writer sets that meanwhile.
	live = "is_active = :true AND expires_at > :now AND " +
		"(attribute_not_exists(max_expires_at) OR NOT attribute_type(max_expires_at, :number) OR max_expires_at >= :expires_at)"
	// Another write to the session was first.
	lost Outcome = ""
)

// Item is a record, or a part of it.
type Item = map[string]types.AttributeValue

func (s *Sessions) close(ctx context.Context, user, session, reason string) (Outcome, error) {
	now := s.Now()
	if err := checkIDs(user, session); err != nil {
		return "", err
	}
	return s.change(ctx, user, session, func(found Item) (Outcome, error) {
		if !isActive(found) {
			return Ended, nil
		}
		return s.deactivate(ctx, found, reason, now)
	})
}

func (s *Sessions) revoke(ctx context.Context, user string, isMeant func(session string) bool) (int, error) {
	now, closed := s.Now(), 0
	items, err := s.sessionsOf(ctx, user)
	if err != nil {
		return 0, err
	}
	for _, found := range items {
		session := sessionOf(found)
		if !isActive(found) || !isMeant(session) {
			continue
		}
		outcome, err := s.deactivate(ctx, found, "revoked", now)
		if err == nil && outcome == lost {
			outcome, err = s.close(ctx, user, session, "revoked")
		}
		if err != nil {
			return closed, err
		}
		if outcome == Done {
			closed++
		}
	}
	return closed, nil
}

func (s *Sessions) deactivate(ctx context.Context, found Item, reason string, now time.Time) (Outcome, error) {
	update := "is_active = :false, deactivated_at = :now, deactivation_reason = :reason, " +
		"due_key = :due_key, due_at = :due_at, #ttl = :due_at"
	return s.update(ctx, found, update, "is_active = :true", Item{
		":false":   boolean(false),
		":true":    boolean(true),
		":now":     number(now.Unix()),
		":reason":  text(reason),
		":due_key": text(s.dueKey("delete", found)),
		":due_at":  number(now.Add(s.Retention).Unix()),
	})
}

// Reads a session and calls attempt with it, again if another write was first.
func (s *Sessions) change(
	ctx context.Context, user, session string, attempt func(found Item) (Outcome, error),
) (Outcome, error) {
	for count := 0; count < maxAttempts; count++ {
		found, err := s.Client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName:      aws.String(s.Table),
			Key:            sessionKey(user, session),
			ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			return "", err
		}
		if len(found.Item) == 0 {
			return NotFound, nil
		}
		outcome, err := attempt(found.Item)
		if err != nil || outcome != lost {
			return outcome, err
		}
		time.Sleep(time.Duration(count) * 10 * time.Millisecond)
	}
	return "", errors.New("other writes to the session were always first")
}

// Updates a session. It returns Done, or lost if its condition fails or a transaction has locked the record.
func (s *Sessions) update(ctx context.Context, found Item, update, condition string, values Item) (Outcome, error) {
	_, err := s.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(s.Table),
		Key:                       Item{"pk": found["pk"], "sk": found["sk"]},
		UpdateExpression:          aws.String("SET " + update),
		ConditionExpression:       aws.String(condition),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: values,
	})
	var failed *types.ConditionalCheckFailedException
	var locked *types.TransactionConflictException
	switch {
	case errors.As(err, &failed) || errors.As(err, &locked):
		return lost, nil
	case err != nil:
		return "", err
	}
	return Done, nil
}

func (s *Sessions) create(ctx context.Context, item Item) (Outcome, error) {
	_, err := s.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:           aws.String(s.Table),
		Item:                item,
		ConditionExpression: aws.String("attribute_not_exists(pk)"),
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		return Exists, nil
	case err != nil:
		return "", err
	}
	return Done, nil
}

// All sessions of a user, by ID. The read is consistent: it has each session that was created before.
func (s *Sessions) sessionsOf(ctx context.Context, user string) ([]Item, error) {
	if err := checkIDs(user); err != nil {
		return nil, err
	}
	var items []Item
	var start Item
	for {
		page, err := s.Client.Query(ctx, &dynamodb.QueryInput{
			TableName:                 aws.String(s.Table),
			KeyConditionExpression:    aws.String("pk = :user AND begins_with(sk, :session)"),
			ExpressionAttributeValues: Item{":user": text("USER#" + user), ":session": text("SESSION#")},
			ConsistentRead:            aws.Bool(true),
			ExclusiveStartKey:         start,
		})
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if start = page.LastEvaluatedKey; len(start) == 0 {
			return items, nil
		}
	}
}

func (s *Sessions) session(user, session string, expiresAt time.Time, attributes Attributes) (Item, error) {
	if err := check(expiresAt, user, session); err != nil {
		return nil, err
	}
	item := Item{}
	for name, value := range attributes.Other {
		item[name] = value
	}
	for name, value := range map[string]string{
		"ip_address": attributes.IPAddress, "user_agent": attributes.UserAgent, "client_id": attributes.ClientID,
	} {
		if value != "" {
			item[name] = text(value)
		}
	}
	for name, value := range map[string]time.Time{
		"auth_time": attributes.AuthTime, "max_expires_at": attributes.MaxExpiresAt,
	} {
		if value.IsZero() {
			continue
		}
		if err := check(value); err != nil {
			return nil, err
		}
		item[name] = number(value.Unix())
	}
	for name, value := range sessionKey(user, session) {
		item[name] = value
	}
	end := untilEnd(expiresAt, item)
	item["user_id"] = text(user)
	item["session_id"] = text(session)
	item["is_active"] = boolean(true)
	item["created_at"] = number(s.Now().Unix())
	item["expires_at"] = number(end.Unix())
	item["due_key"] = text(s.dueKey("deactivate", nil))
	item["due_at"] = number(end.Unix())
	item["ttl"] = number(end.Add(s.Retention).Unix())
	return item, nil
}

func (s *Sessions) refreshToken(user, session, token string, expiresAt time.Time) Item {
	item := refreshTokenKey(user, token)
	item["user_id"] = text(user)
	item["session_id"] = text(session)
	return s.withTimes(item, expiresAt)
}

// Adds the times of a refresh token or a blacklisted token.
func (s *Sessions) withTimes(item Item, expiresAt time.Time) Item {
	item["due_key"] = text(s.dueKey("delete", nil))
	for _, name := range []string{"expires_at", "due_at", "ttl"} {
		item[name] = number(expiresAt.Unix())
	}
	return item
}

// A record keeps its shard for life.
func (s *Sessions) dueKey(action string, found Item) string {
	if _, shard, ok := strings.Cut(textOf(found, "due_key"), "#"); ok && shard != "" {
		return action + "#" + shard
	}
	return fmt.Sprintf("%s#%02d", action, rand.Intn(s.Shards))
}

// The values of the condition live, and of the new expiry time.
func (s *Sessions) live(now, expiresAt time.Time) Item {
	return Item{
		":true":       boolean(true),
		":now":        number(now.Unix()),
		":number":     text("N"),
		":expires_at": number(expiresAt.Unix()),
		":ttl":        number(expiresAt.Add(s.Retention).Unix()),
	}
}

// Reads a session. What is left of the item are the application's own attributes.
func readSession(found Item) Session {
	session := Session{
		ID:                 sessionOf(found),
		IsActive:           isActive(found),
		CreatedAt:          storedTime(found, "created_at"),
		ExpiresAt:          storedTime(found, "expires_at"),
		LastUsedAt:         storedTime(found, "last_used_at"),
		DeactivatedAt:      storedTime(found, "deactivated_at"),
		DeactivationReason: textOf(found, "deactivation_reason"),
		Attributes: Attributes{
			IPAddress:    textOf(found, "ip_address"),
			UserAgent:    textOf(found, "user_agent"),
			ClientID:     textOf(found, "client_id"),
			AuthTime:     storedTime(found, "auth_time"),
			MaxExpiresAt: storedTime(found, "max_expires_at"),
			Other:        found,
		},
	}
	for _, name := range []string{
		"pk", "sk", "user_id", "session_id", "is_active", "created_at", "expires_at", "last_used_at", "deactivated_at",
		"deactivation_reason", "ip_address", "user_agent", "client_id", "auth_time", "max_expires_at", "due_key", "due_at", "ttl",
		"refresh_hash", "refresh_previous_hash", "refresh_rotated_at", "refresh_salt",
	} {
		delete(found, name)
	}
	return session
}

func sessionKey(user, session string) Item {
	return Item{"pk": text("USER#" + user), "sk": text("SESSION#" + session)}
}

func sessionOf(item Item) string {
	return strings.TrimPrefix(textOf(item, "sk"), "SESSION#")
}

func refreshTokenKey(user, token string) Item {
	return Item{"pk": text("USER#" + user), "sk": text("REFRESH#" + sha256Hex(token))}
}

func sha256Hex(token string) string {
	hash := sha256.Sum256([]byte(token))
	return hex.EncodeToString(hash[:])
}

// The token that replaces a used one. All uses of a token get the same one, and none can be calculated without the salt.
func replacement(used, salt string) string {
	mac := hmac.New(sha256.New, []byte(used))
	mac.Write([]byte(salt))
	return hex.EncodeToString(mac.Sum(nil))
}

func randomHex(length int) string {
	bytes := make([]byte, length)
	if _, err := cryptorand.Read(bytes); err != nil {
		panic(err) // Newer versions of Go never return an error here.
	}
	return hex.EncodeToString(bytes)
}

func isActive(record Item) bool {
	active, ok := record["is_active"].(*types.AttributeValueMemberBOOL)
	return ok && active.Value
}

func isLive(record Item, now time.Time) bool {
	return isActive(record) && storedTime(record, "expires_at").Unix() > now.Unix()
}

// The expiry time, but not later than the session's absolute end.
func untilEnd(expiresAt time.Time, record Item) time.Time {
	end, ok := numberOf(record, "max_expires_at")
	if !ok || float64(expiresAt.Unix()) <= end {
		return expiresAt
	}
	return time.Unix(int64(math.Floor(end)), 0)
}

func check(time time.Time, ids ...string) error {
	if time.Unix() < 0 || time.Unix() > lastTime {
		return errors.New("a time must be between 1970 and 9999")
	}
	return checkIDs(ids...)
}

func checkIDs(ids ...string) error {
	for _, id := range ids {
		characters := utf8.RuneCountInString(id)
		isValid := characters >= 1 && characters <= 256 && len(id) <= 1000 && utf8.ValidString(id)
		if !isValid || strings.IndexFunc(id, unicode.IsControl) >= 0 {
			return errors.New("an id has 1 to 256 characters in at most 1000 bytes, and no control characters")
		}
	}
	return nil
}

// A time of a record. It is zero if it is missing or not valid.
func storedTime(record Item, name string) time.Time {
	seconds, ok := numberOf(record, name)
	if !ok || seconds < 0 || seconds > lastTime {
		return time.Time{}
	}
	return time.Unix(int64(math.Ceil(seconds)), 0)
}

func numberOf(record Item, name string) (float64, bool) {
	stored, ok := record[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(stored.Value, 64)
	return value, err == nil
}

func textOf(record Item, name string) string {
	if stored, ok := record[name].(*types.AttributeValueMemberS); ok {
		return stored.Value
	}
	return ""
}

func text(value string) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: value}
}

func boolean(value bool) types.AttributeValue {
	return &types.AttributeValueMemberBOOL{Value: value}
}

func number(value int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
}
