-- Callers came or went. KEYS: callers, waiting, inflight, changed. args: add ({{room, joined_ms}, ...}), gone
-- ({room, ...}), began_ms (when the listing began; 0: no listing), sids (room -> LiveKit's sid of it, where known). A
-- joined time of 0 is now; a later one too. Without a listing (0) whoever is gone is gone. With one, a caller who joined after it began stays: it cannot have
-- seen them. Returns {room, ...}: those taken out.
local now = now_ms()
for _, pair in ipairs(args.add) do
  local joined = tonumber(pair[2])
  if joined <= 0 or joined > now then
    joined = now
  end
  local new = redis.call('ZADD', KEYS[1], 'NX', joined, pair[1]) == 1
  redis.call('ZADD', KEYS[4], now, pair[1])
  note.caller(pair[1], args.sids[pair[1]] or '', new)
end
local out = {}
for _, room in ipairs(args.gone) do
  local joined = redis.call('ZSCORE', KEYS[1], room)
  if joined and (args.began_ms == 0 or tonumber(joined) < args.began_ms) then
    redis.call('ZREM', KEYS[1], room)
    redis.call('ZREM', KEYS[2], room)
    redis.call('ZREM', KEYS[3], room)
    redis.call('ZADD', KEYS[4], now, room)
    note.no_caller(room)
    out[#out + 1] = room
  end
end
return out
