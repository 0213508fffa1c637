FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
# Optional dependencies hold a Node of their own, for machines with an older one.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
COPY . .
# The embedded store and the read models; a volume, so that they outlive the container.
RUN mkdir /data && chown node:node /data
ENV HOURHAND_DATA=/data
VOLUME /data
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HOURHAND_PORT||process.env.PORT||3000}/health/live`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# Most of what a request makes is short-lived: a larger nursery means less copying.
CMD ["node", "--max-semi-space-size=64", "src/main.ts"]
