-- Callers came or went. KEYS: callers, waiting, inflight, changed, expected, left. args: add ({{room, joined_ms, room_sid or
-- ''}, ...}), expect ({{room, since_ms}, ...}: their callers are still to come), gone ({room, ...}), began_ms (when the
-- listing began; 0: no listing), left_kept_ms (for which a room is remembered that its last caller left), aside_prefix. A
-- joined time of 0 is now; a later one too. What another room of the same name was set aside for is over.
-- Without a listing (0) whoever is gone is gone. With one, a caller who joined after it began stays: it cannot have
-- seen them. Returns {{room, ...}: those taken out, {{room, id of the call, trace id or ''}, ...}: callers not known before}.
local now = now_ms()
local function put(room, since)
  if since <= 0 or since > now then
    since = now
  end
  redis.call('ZADD', KEYS[4], now, room)
  return redis.call('ZADD', KEYS[1], 'NX', since, room), since
end
for _, pair in ipairs(args.expect) do
  local new, since = put(pair[1], tonumber(pair[2]))
  if new == 1 then
    redis.call('ZADD', KEYS[5], since, pair[1])
  end
end
local joined = {}
for _, pair in ipairs(args.add) do
  put(pair[1], tonumber(pair[2]))
  redis.call('ZREM', KEYS[5], pair[1])
  local aside = read_aside(redis.call('GET', args.aside_prefix .. pair[1]))
  if aside and not same_room(aside.room_sid, pair[3]) then
    redis.call('DEL', args.aside_prefix .. pair[1])
  end
  local call = note.caller(pair[1], pair[3])
  if call then
    joined[#joined + 1] = {pair[1], call[1], call[2]}
  end
end
local out = {}
for _, room in ipairs(args.gone) do
  local since = redis.call('ZSCORE', KEYS[1], room)
  if since and (args.began_ms == 0 or tonumber(since) < args.began_ms) then
    redis.call('ZREM', KEYS[1], room)
    redis.call('ZREM', KEYS[2], room)
    redis.call('ZREM', KEYS[3], room)
    redis.call('ZREM', KEYS[5], room)
    redis.call('ZADD', KEYS[4], now, room)
    redis.call('ZADD', KEYS[6], now, room)
    note.no_caller(room)
    out[#out + 1] = room
  end
end
if #out > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now - args.left_kept_ms)
end
return {out, joined}
