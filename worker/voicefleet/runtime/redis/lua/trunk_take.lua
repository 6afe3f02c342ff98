-- A call wants its place on a trunk, or to be dialled on it now. KEYS: the trunk's calls, the trunk's next dial. args:
-- room, concurrent (calls at once; 0: no bound), every_ms (between two dials; 0: the call wants its place alone),
-- kept_ms (after which a place counts as left: no dial is known for longer).
-- Returns 0 when it may; else the milliseconds after which to ask again.
local now = now_ms()
if args.every_ms == 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - args.kept_ms)
  if not redis.call('ZSCORE', KEYS[1], args.room) then
    if args.concurrent > 0 and redis.call('ZCARD', KEYS[1]) >= args.concurrent then
      return 1000
    end
    redis.call('ZADD', KEYS[1], now, args.room)
  end
  return 0
end
local next_ms = tonumber(redis.call('GET', KEYS[2]) or '0')
if next_ms > now and next_ms <= now + args.every_ms then
  return next_ms - now
end
redis.call('SET', KEYS[2], now + args.every_ms, 'PX', args.every_ms + 1000)
return 0
