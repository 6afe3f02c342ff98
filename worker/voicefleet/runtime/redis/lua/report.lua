-- A worker reports. KEYS: workers, report, order. args: worker, report, report_ttl_ms, channel, wake (the controllers).
-- Returns the order that stands for this worker, or false.
redis.call('ZADD', KEYS[1], now_ms(), args.worker)
redis.call('SET', KEYS[2], args.report, 'PX', args.report_ttl_ms)
if args.wake then
  redis.call('PUBLISH', args.channel, args.worker)
end
return redis.call('GET', KEYS[3])
